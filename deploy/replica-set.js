// Run by mongosh against the first of three servers: makes them one replica set, and waits until one is primary.
const NOT_YET_INITIALIZED = 94;

try {
  rs.status();
} catch (error) {
  if (error.code !== NOT_YET_INITIALIZED) {
    throw error;
  }
  rs.initiate({
    _id: "events",
    members: [1, 2, 3].map((number) => ({ _id: number, host: `mongodb-${number}:27017` })),
  });
}
for (let tries = 0; rs.status().members.every((member) => member.stateStr !== "PRIMARY"); tries += 1) {
  if (tries === 60) {
    throw new Error("no member has become primary within a minute");
  }
  sleep(1000);
}
