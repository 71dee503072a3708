// SPDX-License-Identifier: MIT
#include <dlfcn.h>
#include <string.h>

#include "bench.h"
#include "ggml_peer.h"

const struct ggml_peer *ggml_peer_load(const char *path)
{
	const struct ggml_peer *(*get)(void) = NULL;
	void *library;

	if (!path) {
		progress("no ggml to compare with: --ggml names none");
		return NULL;
	}
	library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (library)
		*(void **)&get = dlsym(library, GGML_PEER_SYMBOL);
	if (get)
		return get();
	fail("no ggml to compare with: %s", dlerror());
	return NULL;
}
