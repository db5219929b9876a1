find_package(Python3 REQUIRED COMPONENTS Interpreter)
add_test(NAME contract_ocf_guest COMMAND Python3::Interpreter
         ${CMAKE_CURRENT_LIST_DIR}/ocf_guest.py $<TARGET_FILE:wardom-ocf-guest>)
set_tests_properties(contract_ocf_guest PROPERTIES LABELS contract TIMEOUT 200)
