package experiments

// ServerRole is the role of the control plane's own servers, in a host's config
// as in a file's targets.
const ServerRole = "squall-server"
