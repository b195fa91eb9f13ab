// Sends an event and lists it, with @grpc/grpc-js. The stubs are made from proto/ when the program starts.
"use strict";

const path = require("node:path");
const { randomUUID } = require("node:crypto");
const grpc = require("@grpc/grpc-js");
const protoLoader = require("@grpc/proto-loader");

const proto = path.join(__dirname, "..", "..", "proto");
// google/api/annotations.proto, which ours imports, comes with protobufjs.
const protobufjs = path.dirname(require.resolve("protobufjs/package.json"));
const definition = protoLoader.loadSync("spaceone/api/monitoring/v1/event.proto", {
  includeDirs: [proto, protobufjs],
  keepCase: true,
  defaults: false,
});
const { Event } = grpc.loadPackageDefinition(definition).spaceone.api.monitoring.v1;

// google.protobuf.Struct as proto-loader wants it.
const struct = (object) => ({
  fields: Object.fromEntries(Object.entries(object).map(([name, value]) => [name, toValue(value)])),
});
function toValue(value) {
  if (value === null) return { nullValue: 0 };
  if (Array.isArray(value)) return { listValue: { values: value.map(toValue) } };
  if (typeof value === "object") return { structValue: struct(value) };
  if (typeof value === "number") return { numberValue: value };
  return typeof value === "boolean" ? { boolValue: value } : { stringValue: String(value) };
}

const events = new Event(
  process.env.EVENT_SERVICE_SERVER || "127.0.0.1:50051",
  grpc.credentials.createInsecure(),
);

function ask(method, request, names = {}) {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(names)) if (value) metadata.set(name, value);
  return new Promise((resolve, reject) => {
    const options = { deadline: Date.now() + 10_000 };
    events[method](request, metadata, options, (error, reply) => (error ? reject(error) : resolve(reply)));
  });
}

async function main() {
  await ask(
    "create",
    {
      webhook_id: process.env.EVENT_SERVICE_WEBHOOK_ID,
      access_key: process.env.EVENT_SERVICE_ACCESS_KEY,
      data: struct({ event_key: "queue:mail", title: "Mail queue is long", severity: "WARNING", length: 4711 }),
    },
    { "idempotency-key": randomUUID() }, // chosen once for the event: sending again stores nothing new
  );
  const query = { event_key: "queue:mail", query: { page: { limit: 5 } } };
  const page = await ask("list", query, { token: process.env.EVENT_SERVICE_TOKEN });
  for (const event of page.results) console.log(event.created_at, event.event_id, event.title);
  console.log(`${page.total_count} events`);
}

main()
  .catch((error) => {
    console.error(error.details || error);
    process.exitCode = 1;
  })
  .finally(() => events.close());
