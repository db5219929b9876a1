include(${CMAKE_CURRENT_LIST_DIR}/adapter_suite.cmake)
wardom_adapter_test(corosync)
