"""The Cloud Eye API (Huawei) at the root of the HTTP address. `api` has its routes."""
