add_executable(unit-runtime runtime_key_change.cpp runtime_record_book.cpp)
target_link_libraries(unit-runtime PRIVATE wardom_runtime wardom_catch_main)
add_test(NAME unit.runtime COMMAND unit-runtime)
set_tests_properties(unit.runtime PROPERTIES LABELS "unit;fast" TIMEOUT 60)
