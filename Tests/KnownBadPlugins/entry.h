/// How a fixture of one component is found. Comes last: `functions`, the component's table, and FIXTURE_KIND
/// stand before it.
static const martlet_component component = {.size = sizeof component,
                                            .kind = FIXTURE_KIND,
                                            .id = FIXTURE_ID,
                                            .functions = &functions};
static const martlet_component *const components[] = {&component};
static const martlet_plugin plugin = {.size = sizeof plugin,
                                      .abi_major = MARTLET_PLUGIN_ABI_MAJOR,
                                      .abi_minor = MARTLET_PLUGIN_ABI_MINOR,
                                      .component_count = 1,
                                      .id = FIXTURE_ID,
                                      .version = "1.0.0",
                                      .components = components};

MARTLET_API const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor);
const martlet_plugin *martlet_plugin_entry(uint32_t major, uint32_t minor) {
  (void)major, (void)minor;
  return &plugin;
}
