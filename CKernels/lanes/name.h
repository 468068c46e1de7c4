/// Names that the vocabulary and the bodies share.
#ifndef MARTLET_LANES_NAME_H
#define MARTLET_LANES_NAME_H

#define LANES static inline __attribute__((always_inline))
#define LANES_PASTE(operation, isa) martlet_##operation##_##isa
/// `martlet_<operation>_<isa>`; a file defines LANES_ISA before it includes a vocabulary.
#define LANES_NAME(operation, isa) LANES_PASTE(operation, isa)

#endif
