// Prints the methods of all services that the server lists, and of those named: reflection.js CLIENT HOST:PORT [NAME ...]
const grpc = require("@grpc/grpc-js");

const [client, address, ...named] = process.argv.slice(2);

async function withReflectionClient() {
  const { GrpcReflection } = require("grpc-js-reflection-client");
  const reflection = new GrpcReflection(address, grpc.ChannelCredentials.createInsecure());
  const services = {};
  for (const name of [...(await reflection.listServices()), ...named]) {
    const descriptor = await reflection.getDescriptorBySymbol(name);
    const constructor = name.split(".").reduce((scope, part) => scope[part], descriptor.getPackageObject());
    services[name] = Object.keys(constructor.service);
  }
  return services;
}

async function withReflectionJs() {
  const { Client } = require("grpc-reflection-js");
  const reflection = new Client(address, grpc.credentials.createInsecure());
  const services = {};
  for (const name of [...(await reflection.listServices()), ...named]) {
    const root = await reflection.fileContainingSymbol(name);
    services[name] = Object.keys(root.lookupService(name).methods);
  }
  return services;
}

(client === "grpc-reflection-js" ? withReflectionJs() : withReflectionClient()).then((services) => {
  console.log(JSON.stringify(services));
  process.exit(0);
});
