// Prints the methods of a service in proto files, with the google/api that protobufjs brings: protos.js FOLDER FILE SERVICE
const path = require("node:path");
const grpc = require("@grpc/grpc-js");
const loader = require("@grpc/proto-loader");

const [folder, file, service] = process.argv.slice(2);
const includeDirs = [folder, path.dirname(require.resolve("protobufjs/package.json"))];
const loaded = grpc.loadPackageDefinition(loader.loadSync(file, { includeDirs }));
const constructor = service.split(".").reduce((scope, part) => scope[part], loaded);
console.log(JSON.stringify(Object.keys(constructor.service)));
