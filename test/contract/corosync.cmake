include(${CMAKE_CURRENT_LIST_DIR}/adapter_suite.cmake)
wardom_adapter_test(corosync)
wardom_adapter_test(votequorum)
target_link_libraries(contract_votequorum PRIVATE wardom_corosync)
