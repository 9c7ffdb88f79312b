#define LOAD carchive_load
#define FUNCTIONS carchive_functions
#include "LazyFunctions.h"

    LAZY archive_entry_filetype
    LAZY archive_entry_free
    LAZY archive_entry_new
    LAZY archive_entry_pathname
    LAZY archive_entry_set_filetype
    LAZY archive_entry_set_pathname
    LAZY archive_entry_set_perm
    LAZY archive_entry_set_size
    LAZY archive_entry_size
    LAZY archive_entry_size_is_set
    LAZY archive_errno
    LAZY archive_error_string
    LAZY archive_read_data
    LAZY archive_read_free
    LAZY archive_read_new
    LAZY archive_read_next_header
    LAZY archive_read_open_filename
    LAZY archive_read_support_filter_gzip
    LAZY archive_read_support_filter_zstd
    LAZY archive_read_support_format_tar
    LAZY archive_write_add_filter_gzip
    LAZY archive_write_add_filter_none
    LAZY archive_write_add_filter_zstd
    LAZY archive_write_close
    LAZY archive_write_data
    LAZY archive_write_free
    LAZY archive_write_header
    LAZY archive_write_new
    LAZY archive_write_open_filename
    LAZY archive_write_set_format_pax_restricted

    LAZY_END
