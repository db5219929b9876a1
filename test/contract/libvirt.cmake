find_package(Catch2 2 REQUIRED)
add_executable(contract-libvirt libvirt_test_driver.cpp libvirt_main.cpp)
target_link_libraries(contract-libvirt PRIVATE wardom_libvirt wardom_guestxml Catch2::Catch2)
add_test(NAME contract-libvirt COMMAND contract-libvirt)

add_executable(contract-qemu-hook libvirt_hook.cpp libvirt_main.cpp)
target_link_libraries(contract-qemu-hook PRIVATE wardom_qemu_hook Catch2::Catch2 Threads::Threads)
target_compile_definitions(contract-qemu-hook PRIVATE
                           WARDOM_HOOK="$<TARGET_FILE:wardom-qemu-hook>")
add_dependencies(contract-qemu-hook wardom-qemu-hook)
add_test(NAME contract-qemu-hook COMMAND contract-qemu-hook)
