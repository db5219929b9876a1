find_package(Catch2 2.13 REQUIRED)

add_executable(config_test config_main.cpp config_file.cpp config_values.cpp config_secrets.cpp
                           config_timing.cpp)
target_link_libraries(config_test PRIVATE wardom_config Catch2::Catch2)
add_test(NAME unit.config COMMAND config_test)
set_tests_properties(unit.config PROPERTIES LABELS "unit;fast" TIMEOUT 60)
