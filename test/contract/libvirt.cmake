find_package(Catch2 2 REQUIRED)
add_executable(contract-libvirt libvirt_test_driver.cpp libvirt_main.cpp)
target_link_libraries(contract-libvirt PRIVATE wardom_libvirt wardom_guestxml Catch2::Catch2)
add_test(NAME contract-libvirt COMMAND contract-libvirt)
