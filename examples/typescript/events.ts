// Sends an event and lists it, with connect-es over gRPC. `generate.sh` makes the stubs in gen/ from proto/.
import { createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { randomUUID } from "node:crypto";
import { Event } from "./gen/spaceone/api/monitoring/v1/event_pb.js";

const setting = (name: string, otherwise = "") => process.env[name] || otherwise;

const token = setting("EVENT_SERVICE_TOKEN");
const withToken: Interceptor = (next) => (request) => {
  if (token) request.header.set("token", token);
  return next(request);
};
const events = createClient(
  Event,
  createGrpcTransport({
    baseUrl: `http://${setting("EVENT_SERVICE_SERVER", "127.0.0.1:50051")}`,
    interceptors: [withToken],
  }),
);

// Chosen once for the event: sending again stores nothing new.
const headers = { "idempotency-key": randomUUID() };
await events.create(
  {
    webhookId: setting("EVENT_SERVICE_WEBHOOK_ID"),
    accessKey: setting("EVENT_SERVICE_ACCESS_KEY"),
    data: { event_key: "cache:shop", title: "Cache misses are rising", severity: "WARNING", ratio: 0.31 },
  },
  { headers, timeoutMs: 10_000 },
);

const page = await events.list({ eventKey: "cache:shop", query: { page: { limit: 5 } } }, { timeoutMs: 10_000 });
for (const event of page.results) console.log(event.createdAt, event.eventId, event.title);
console.log(`${page.totalCount} events`);
