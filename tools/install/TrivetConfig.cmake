# find_package(Trivet): Trivet::trivet (compiles and runs), Trivet::runtime (runs), Trivet::plugin (the headers alone),
# TRIVET_COMMAND, TRIVET_PLUGIN_FOLDER, and trivet_add_plugin(NAME SOURCES...).
get_filename_component(TRIVET_PREFIX "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(TRIVET_COMMAND "${TRIVET_PREFIX}/bin/trivet")
set(TRIVET_PLUGIN_FOLDER "${TRIVET_PREFIX}/lib/trivet/plugins")

if(NOT TARGET Trivet::plugin)
  add_library(Trivet::plugin INTERFACE IMPORTED)
  set_target_properties(Trivet::plugin PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${TRIVET_PREFIX}/include")
  add_library(Trivet::runtime SHARED IMPORTED)
  set_target_properties(Trivet::runtime PROPERTIES IMPORTED_LOCATION "${TRIVET_PREFIX}/lib/libtrivet_runtime.so"
    INTERFACE_INCLUDE_DIRECTORIES "${TRIVET_PREFIX}/include")
  add_library(Trivet::trivet SHARED IMPORTED)
  set_target_properties(Trivet::trivet PROPERTIES IMPORTED_LOCATION "${TRIVET_PREFIX}/lib/libtrivet.so"
    INTERFACE_INCLUDE_DIRECTORIES "${TRIVET_PREFIX}/include" INTERFACE_LINK_LIBRARIES Trivet::runtime)
endif()

# A plugin is NAME.so, links nothing of Trivet and shows one symbol.
function(trivet_add_plugin name)
  add_library(${name} MODULE ${ARGN})
  target_link_libraries(${name} PRIVATE Trivet::plugin)
  target_compile_options(${name} PRIVATE -ffp-contract=off)
  set_target_properties(${name} PROPERTIES PREFIX "" C_STANDARD 11 C_VISIBILITY_PRESET hidden)
endfunction()
