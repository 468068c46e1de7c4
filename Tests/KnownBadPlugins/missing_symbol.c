/// Does not export the entry function.
int martlet_plugin_entrance = 1;
