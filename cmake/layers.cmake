# One CMake library per layer of libha. Each sees the headers of the layers that it links, and of
# no other: a layer's include root holds nothing but a link to its own folder. So an include that
# points upwards or sideways does not build.
#
#   wardom_layer(core SOURCES a.cpp b.cpp DEPENDS ... LIBRARIES ...)
function(wardom_layer name)
  cmake_parse_arguments(LAYER "" "" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  set(root ${CMAKE_BINARY_DIR}/layers/${name})
  file(MAKE_DIRECTORY ${root}/libha)
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/libha/${name} ${root}/libha/${name} SYMBOLIC)
  list(TRANSFORM LAYER_DEPENDS PREPEND wardom_)
  if(LAYER_SOURCES)
    add_library(wardom_${name} STATIC ${LAYER_SOURCES})
    target_include_directories(wardom_${name} PUBLIC ${root})
    target_link_libraries(wardom_${name} PUBLIC ${LAYER_DEPENDS} PRIVATE ${LAYER_LIBRARIES})
  else()
    add_library(wardom_${name} INTERFACE)
    target_include_directories(wardom_${name} INTERFACE ${root})
    target_link_libraries(wardom_${name} INTERFACE ${LAYER_DEPENDS} ${LAYER_LIBRARIES})
  endif()
endfunction()
