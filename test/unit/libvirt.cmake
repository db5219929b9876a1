find_package(Catch2 2 REQUIRED)
add_executable(unit-guestxml guestxml_summary.cpp guestxml_local_things.cpp guestxml_mark.cpp)
target_link_libraries(unit-guestxml PRIVATE wardom_guestxml wardom_catch_main)
add_test(NAME unit-guestxml COMMAND unit-guestxml)
