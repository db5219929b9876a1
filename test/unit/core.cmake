add_executable(unit-core core_evidence.cpp core_judge.cpp core_lock.cpp
                         core_placement.cpp core_parts.cpp core_board.cpp core_domain_lock.cpp
                         core_proofs.cpp core_fencing.cpp core_operator.cpp
                         core_apart.cpp core_handed_back.cpp core_level.cpp core_outage.cpp core_quorum_vote.cpp)
target_include_directories(unit-core PRIVATE ${CMAKE_CURRENT_LIST_DIR})
target_link_libraries(unit-core PRIVATE wardom_core wardom_catch_main)
add_test(NAME unit.core COMMAND unit-core)
set_tests_properties(unit.core PROPERTIES LABELS "unit;fast" TIMEOUT 60)
