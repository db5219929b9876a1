add_executable(test_wire
  wire_bytes.cpp wire_beat.cpp wire_block.cpp wire_keeper_protocol.cpp
  wire_layout.cpp wire_records.cpp)
target_include_directories(test_wire PRIVATE ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(test_wire PRIVATE wardom_wire wardom_port wardom_catch_main)
add_test(NAME unit.wire COMMAND test_wire)
