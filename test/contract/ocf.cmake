find_package(Python3 REQUIRED COMPONENTS Interpreter)
foreach(one "ocf_guest;wardom-ocf-guest" "ocf_hostguard;wardom-ocf-hostguard" "wardom_alert;wardom-alert")
  list(GET one 0 name)
  list(GET one 1 program)
  add_test(NAME contract_${name} COMMAND Python3::Interpreter
           ${CMAKE_CURRENT_LIST_DIR}/${name}.py $<TARGET_FILE:${program}>)
  set_tests_properties(contract_${name} PROPERTIES LABELS contract TIMEOUT 200)
endforeach()
add_test(NAME agents.ocf COMMAND Python3::Interpreter ${CMAKE_CURRENT_LIST_DIR}/ocf_tools.py
         $<TARGET_FILE:wardom-ocf-guest> $<TARGET_FILE:wardom-ocf-hostguard>)
set_tests_properties(agents.ocf PROPERTIES LABELS agents TIMEOUT 300)
