# One suite per adapter.
include_guard(GLOBAL)
function(wardom_adapter_test adapter)
  add_executable(contract_${adapter} ${CMAKE_CURRENT_LIST_DIR}/${adapter}_contract.cpp)
  if(TARGET wardom_${adapter})
    target_link_libraries(contract_${adapter} PRIVATE wardom_${adapter})
  endif()
  target_link_libraries(contract_${adapter} PRIVATE wardom_catch_main Threads::Threads)
  add_test(NAME contract_${adapter} COMMAND contract_${adapter})
  # "SKIPPED" names what the machine or the missing root rights do not allow.
  set_tests_properties(contract_${adapter} PROPERTIES LABELS contract TIMEOUT 120
                       SKIP_REGULAR_EXPRESSION "SKIPPED:")
endfunction()
