find_package(Python3 REQUIRED COMPONENTS Interpreter)

# Sets `copies`, for a target of this folder, to copies of the files of libha that `script` changes
# (test/support/changed_copies.py), PREFIX_FILE.cpp each. What they define, the linker takes from
# nowhere else.
function(wardom_changed_copies copies prefix script)
  set(script ${CMAKE_CURRENT_SOURCE_DIR}/${script})
  set(scripts ${script} ${CMAKE_SOURCE_DIR}/test/support/changed_copies.py)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${scripts})
  execute_process(COMMAND ${Python3_EXECUTABLE} -B ${script} --files
                  OUTPUT_VARIABLE files OUTPUT_STRIP_TRAILING_WHITESPACE
                  COMMAND_ERROR_IS_FATAL ANY)
  set(all)
  foreach(file ${files})
    cmake_path(GET file FILENAME name)
    set(copy ${CMAKE_CURRENT_BINARY_DIR}/${prefix}_${name})
    add_custom_command(OUTPUT ${copy}
                       COMMAND Python3::Interpreter -B ${script} ${CMAKE_SOURCE_DIR}/libha
                               ${file} ${copy}
                       DEPENDS ${scripts} ${CMAKE_SOURCE_DIR}/libha/${file}
                       VERBATIM)
    list(APPEND all ${copy})
  endforeach()
  set(${copies} ${all} PARENT_SCOPE)
endfunction()
