# Catch2's main, compiled once for the adapters' suites.
include_guard(GLOBAL)
add_library(wardom_adapter_test_main OBJECT ${CMAKE_CURRENT_LIST_DIR}/net_main.cpp)
function(wardom_adapter_test adapter)
  add_executable(contract_${adapter} ${CMAKE_CURRENT_LIST_DIR}/${adapter}_contract.cpp
                 $<TARGET_OBJECTS:wardom_adapter_test_main>)
  target_link_libraries(contract_${adapter} PRIVATE wardom_${adapter} Threads::Threads)
  add_test(NAME contract_${adapter} COMMAND contract_${adapter})
  # "SKIPPED" names what the machine or the missing root rights do not allow.
  set_tests_properties(contract_${adapter} PROPERTIES LABELS contract TIMEOUT 120
                       SKIP_REGULAR_EXPRESSION "SKIPPED:")
endfunction()
