/** A module of workers that ends its worker while it loads. */
import "@gort/runtime/worker";

close();
