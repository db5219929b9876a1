find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME contract_fence_wardom COMMAND Python3::Interpreter
         ${CMAKE_CURRENT_LIST_DIR}/fence_wardom.py $<TARGET_FILE:fence_wardom>)
set_tests_properties(contract_fence_wardom PROPERTIES LABELS contract TIMEOUT 200)
add_test(NAME agents.fence_wardom COMMAND Python3::Interpreter
         ${CMAKE_CURRENT_LIST_DIR}/fence_wardom_fencer.py $<TARGET_FILE:fence_wardom>)
set_tests_properties(agents.fence_wardom PROPERTIES LABELS agents TIMEOUT 300)
