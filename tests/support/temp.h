/* Directories for tests. */
#ifndef HF_TESTS_TEMP_H
#define HF_TESTS_TEMP_H

/* A new empty directory below $TMPDIR or /tmp (owns, free()); the test removes it with hf_test_remove_tree. */
char *hf_test_temp_directory(void);

/* Removes the directory and all below it; links are removed, not followed. */
void hf_test_remove_tree(const char *path);

#endif
