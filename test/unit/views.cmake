# What wardomd answers to wardomctl, about a loop of the simulator.
add_executable(unit-views views_status.cpp ${CMAKE_SOURCE_DIR}/agents/wardomd/views.cpp)
target_include_directories(unit-views PRIVATE ${CMAKE_BINARY_DIR}/layers/wardomd)
target_link_libraries(unit-views PRIVATE wardom_sim wardom_config wardom_json wardom_catch_main)
add_test(NAME unit.views COMMAND unit-views)
set_tests_properties(unit.views PROPERTIES LABELS "unit;fast" TIMEOUT 60)
