find_package(Catch2 2.13 REQUIRED)

add_executable(config_test config_file.cpp config_values.cpp config_secrets.cpp
                           config_timing.cpp)
target_link_libraries(config_test PRIVATE wardom_config wardom_catch_main)
add_test(NAME unit.config COMMAND config_test)
set_tests_properties(unit.config PROPERTIES LABELS "unit;fast" TIMEOUT 60)

find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME golden.wardomctl COMMAND Python3::Interpreter
         ${CMAKE_CURRENT_SOURCE_DIR}/tree_wardomctl.py $<TARGET_FILE:wardomctl>)
set_tests_properties(golden.wardomctl PROPERTIES LABELS "golden;fast" TIMEOUT 120)
add_test(NAME unit.wardomctl.volume COMMAND Python3::Interpreter
         ${CMAKE_CURRENT_SOURCE_DIR}/tree_volume.py $<TARGET_FILE:wardomctl>)
add_test(NAME unit.wardomctl.quorum COMMAND Python3::Interpreter
         ${CMAKE_CURRENT_SOURCE_DIR}/tree_quorum.py $<TARGET_FILE:wardomctl>)
add_test(NAME unit.wardomctl.import COMMAND Python3::Interpreter
         ${CMAKE_CURRENT_SOURCE_DIR}/tree_import.py $<TARGET_FILE:wardomctl>)
set_tests_properties(unit.wardomctl.volume unit.wardomctl.quorum unit.wardomctl.import PROPERTIES LABELS "unit;fast" TIMEOUT 120)

# The rules of the tree, and the proof that each of them can fail.
add_test(NAME tree.layers COMMAND Python3::Interpreter ${CMAKE_SOURCE_DIR}/scripts/check-layers)
add_test(NAME tree.layers_can_fail COMMAND Python3::Interpreter
         ${CMAKE_CURRENT_SOURCE_DIR}/tree_layers.py ${CMAKE_SOURCE_DIR})
# The faults of a chaos run, and its judgement.
add_test(NAME tree.chaos COMMAND Python3::Interpreter
         ${CMAKE_CURRENT_SOURCE_DIR}/tree_chaos.py ${CMAKE_SOURCE_DIR})
set_tests_properties(tree.layers tree.layers_can_fail tree.chaos PROPERTIES LABELS "unit;fast" TIMEOUT 60)

# What is installed as an example must be good.
add_test(NAME unit.config_example
         COMMAND wardomctl config check ${CMAKE_SOURCE_DIR}/packaging/wardom.toml.example)
set_tests_properties(unit.config_example PROPERTIES LABELS "unit;fast" TIMEOUT 10
                     PASS_REGULAR_EXPRESSION "good; cluster lab, 1 domain, 3 hosts")
