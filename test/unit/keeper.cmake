add_executable(test_keeper
  keeper_daemon_life.cpp keeper_feeder.cpp keeper_guests.cpp keeper_join.cpp keeper_ladder.cpp
  keeper_pulse.cpp keeper_ride.cpp)
target_link_libraries(test_keeper PRIVATE keeper_parts wardom_catch_main)
add_test(NAME unit.keeper COMMAND test_keeper)
set_tests_properties(unit.keeper PROPERTIES LABELS "unit;fast" TIMEOUT 60)

# Of its own, since it answers for a device.
add_executable(test_lease keeper_lease.cpp)
target_link_libraries(test_lease PRIVATE keeper_parts wardom_catch_main)
add_test(NAME unit.lease COMMAND test_lease)
set_tests_properties(unit.lease PROPERTIES LABELS "unit;fast" TIMEOUT 60)
