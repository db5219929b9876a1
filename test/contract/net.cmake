include(${CMAKE_CURRENT_LIST_DIR}/net_main.cmake)
wardom_adapter_test(net)
