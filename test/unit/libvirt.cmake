find_package(Catch2 2 REQUIRED)
add_executable(unit-guestxml guestxml_summary.cpp guestxml_local_things.cpp guestxml_mark.cpp
                             guestxml_main.cpp)
target_link_libraries(unit-guestxml PRIVATE wardom_guestxml Catch2::Catch2)
add_test(NAME unit-guestxml COMMAND unit-guestxml)
