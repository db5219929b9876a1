add_executable(contract_disk disk_hold.cpp disk_store.cpp disk_volume.cpp)
target_include_directories(contract_disk PRIVATE ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(contract_disk PRIVATE wardom_disk wardom_catch_main)
add_test(NAME contract.disk COMMAND contract_disk)
set_tests_properties(contract.disk PROPERTIES TIMEOUT 60)

# Preloaded into keepers whose volume is to fail.
add_library(volume_faults MODULE volume_faults.cpp)
target_link_libraries(volume_faults PRIVATE ${CMAKE_DL_LIBS})

add_executable(contract_keeper disk_keeper.cpp disk_keeper_hold.cpp disk_keeper_versions.cpp)
target_include_directories(contract_keeper PRIVATE ${CMAKE_CURRENT_LIST_DIR})
target_compile_definitions(contract_keeper PRIVATE
                           WARDOM_KEEPER="$<TARGET_FILE:wardom-keeper>"
                           WARDOM_VOLUME_FAULTS="$<TARGET_FILE:volume_faults>")
target_link_libraries(contract_keeper PRIVATE wardom_disk wardom_keeper_client wardom_catch_main)
add_dependencies(contract_keeper wardom-keeper volume_faults)
add_test(NAME contract.keeper COMMAND contract_keeper)
set_tests_properties(contract.keeper PROPERTIES TIMEOUT 120)
