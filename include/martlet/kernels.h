/// All kernel families: a C program includes this one header.
#ifndef MARTLET_KERNELS_H
#define MARTLET_KERNELS_H

#include "activation.h"
#include "attention.h"
#include "common.h"
#include "gated.h"
#include "gemm.h"
#include "graph.h"
#include "isa.h"
#include "norm.h"
#include "probe.h"
#include "retrieve.h"
#include "rope.h"
#include "rows.h"
#include "sampling.h"
#include "softmax.h"
#include "verify.h"

#endif
