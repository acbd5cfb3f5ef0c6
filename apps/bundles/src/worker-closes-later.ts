/** A module of workers that ends its worker in a task of its own, before the runtime has answered the first message. */
import "@gort/runtime/worker";

addEventListener("message", () => close());
