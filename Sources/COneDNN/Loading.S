#define LOAD conednn_load
#define FUNCTIONS conednn_functions
#include "LazyFunctions.h"

    LAZY dnnl_dilated_convolution_forward_desc_init
    LAZY dnnl_engine_create
    LAZY dnnl_memory_create
    LAZY dnnl_memory_desc_equal
    LAZY dnnl_memory_desc_get_size
    LAZY dnnl_memory_desc_init_by_strides
    LAZY dnnl_memory_desc_init_by_tag
    LAZY dnnl_memory_destroy
    LAZY dnnl_primitive_attr_create
    LAZY dnnl_primitive_attr_destroy
    LAZY dnnl_primitive_attr_set_scratchpad_mode
    LAZY dnnl_primitive_create
    LAZY dnnl_primitive_desc_create
    LAZY dnnl_primitive_desc_destroy
    LAZY dnnl_primitive_desc_query
    LAZY dnnl_primitive_desc_query_md
    LAZY dnnl_primitive_destroy
    LAZY dnnl_primitive_execute
    LAZY dnnl_reorder_primitive_desc_create
    LAZY dnnl_stream_create
    LAZY dnnl_stream_destroy
    LAZY dnnl_stream_wait

    LAZY_END
