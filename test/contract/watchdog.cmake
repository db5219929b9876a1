add_executable(contract_watchdog watchdog_contract.cpp)
target_link_libraries(contract_watchdog PRIVATE wardom_watchdog wardom_catch_main)
add_test(NAME contract.watchdog COMMAND contract_watchdog)
set_tests_properties(contract.watchdog PROPERTIES LABELS "contract;fast" TIMEOUT 60)
