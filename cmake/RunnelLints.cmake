# Rules that need no build, as tests; once, not again under each sanitizer.
if(NOT RUNNEL_SANITIZE AND NOT RUNNEL_FUZZ)
  add_test(NAME Lint.Format COMMAND "${CMAKE_SOURCE_DIR}/tools/dev" check-format)
  add_test(NAME Lint.Layers COMMAND "${CMAKE_SOURCE_DIR}/tools/check-layers")
  add_test(NAME Lint.LayersRulesFire COMMAND "${CMAKE_SOURCE_DIR}/tools/check-layers-test")
  set_tests_properties(Lint.Format Lint.Layers Lint.LayersRulesFire PROPERTIES LABELS fast TIMEOUT 300)
endif()
