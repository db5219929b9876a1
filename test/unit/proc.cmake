add_executable(unit-proc proc_line_sink.cpp)
target_link_libraries(unit-proc PRIVATE wardom_proc wardom_catch_main)
add_test(NAME unit.proc COMMAND unit-proc)
set_tests_properties(unit.proc PROPERTIES LABELS "unit;fast" TIMEOUT 60)
