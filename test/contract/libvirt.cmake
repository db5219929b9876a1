find_package(Catch2 2 REQUIRED)
add_executable(contract-libvirt libvirt_test_driver.cpp)
target_link_libraries(contract-libvirt PRIVATE wardom_libvirt wardom_guestxml wardom_catch_main)
add_test(NAME contract-libvirt COMMAND contract-libvirt)

add_executable(contract-qemu-hook libvirt_hook.cpp)
target_link_libraries(contract-qemu-hook PRIVATE wardom_qemu_hook wardom_catch_main Threads::Threads)
target_compile_definitions(contract-qemu-hook PRIVATE
                           WARDOM_HOOK="$<TARGET_FILE:wardom-qemu-hook>")
add_dependencies(contract-qemu-hook wardom-qemu-hook)
add_test(NAME contract-qemu-hook COMMAND contract-qemu-hook)

add_executable(contract-libvirt-daemon libvirt_daemon.cpp)
target_link_libraries(contract-libvirt-daemon PRIVATE wardom_libvirt wardom_guestxml
                      Catch2::Catch2 Threads::Threads)
target_compile_definitions(contract-libvirt-daemon PRIVATE
                           WARDOM_HOOK="$<TARGET_FILE:wardom-qemu-hook>")
add_dependencies(contract-libvirt-daemon wardom-qemu-hook)
add_test(NAME contract-libvirt-daemon COMMAND contract-libvirt-daemon)
set_tests_properties(contract-libvirt-daemon PROPERTIES LABELS contract TIMEOUT 120
                     SKIP_REGULAR_EXPRESSION "SKIPPED:")

add_executable(contract-libvirt-migration libvirt_migration.cpp)
target_link_libraries(contract-libvirt-migration PRIVATE wardom_libvirt wardom_guestxml
                      Catch2::Catch2 Threads::Threads)
target_compile_definitions(contract-libvirt-migration PRIVATE
                           WARDOM_HOOK="$<TARGET_FILE:wardom-qemu-hook>")
add_dependencies(contract-libvirt-migration wardom-qemu-hook)
add_test(NAME contract-libvirt-migration COMMAND contract-libvirt-migration)
set_tests_properties(contract-libvirt-migration PROPERTIES LABELS contract TIMEOUT 180
                     SKIP_REGULAR_EXPRESSION "SKIPPED:")
