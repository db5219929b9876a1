# What wardomd answers to wardomctl, about a loop of the simulator.
add_executable(unit-views views_status.cpp views_pacemaker.cpp ${CMAKE_SOURCE_DIR}/agents/wardomd/views.cpp
               ${CMAKE_SOURCE_DIR}/agents/wardomd/pacemaker_desk.cpp)
target_include_directories(unit-views PRIVATE ${CMAKE_BINARY_DIR}/layers/wardomd)
target_link_libraries(unit-views PRIVATE wardom_sim wardom_config wardom_control wardom_json wardom_catch_main)
add_test(NAME unit.views COMMAND unit-views)
set_tests_properties(unit.views PROPERTIES LABELS "unit;fast" TIMEOUT 60)

# The same for the files of the key.
add_executable(unit-key-files daemon_key_files.cpp ${CMAKE_SOURCE_DIR}/agents/wardomd/key_files.cpp)
target_include_directories(unit-key-files PRIVATE ${CMAKE_BINARY_DIR}/layers/wardomd)
target_link_libraries(unit-key-files PRIVATE wardom_runtime wardom_config wardom_proc wardom_catch_main)
add_test(NAME unit.key_files COMMAND unit-key-files)
set_tests_properties(unit.key_files PROPERTIES LABELS "unit;fast" TIMEOUT 60)

# The same for corosync.conf on all hosts.
add_executable(unit-device-files daemon_device_files.cpp
               ${CMAKE_SOURCE_DIR}/agents/wardomd/device_files.cpp)
target_include_directories(unit-device-files PRIVATE ${CMAKE_BINARY_DIR}/layers/wardomd)
target_link_libraries(unit-device-files PRIVATE wardom_runtime wardom_corosync_conf wardom_catch_main)
add_test(NAME unit.device_files COMMAND unit-device-files)
set_tests_properties(unit.device_files PROPERTIES LABELS "unit;fast" TIMEOUT 60)
