package lab

import (
	"fmt"

	"squall/proto/pki"
	pb "squall/proto/squall/v1"
)

// doorPort is where a server's door is.
const doorPort = 7447

// writeBundles makes the lab's own authority and a bundle for each server,
// each agent, and the person at the command line, who comes in by the servers'
// Unix sockets. The authority itself is forgotten.
func writeBundles(folder Folder, region *Region) error {
	authority, err := pki.NewAuthority()
	if err != nil {
		return err
	}
	var doors, sockets []pki.Server
	for _, h := range region.Servers() {
		doors = append(doors, pki.Server{ID: h.Name, Address: fmt.Sprintf("%s:%d", h.Link.V4, doorPort)})
		sockets = append(sockets, pki.Server{ID: h.Name, Address: "unix:" + folder.Socket(h.Name)})
	}
	issue := func(role pb.Role, name, dir string, servers []pki.Server) error {
		bundle, err := authority.Issue(pki.Identity{Role: role, Name: name})
		if err != nil {
			return err
		}
		return bundle.WithServers(servers).Write(dir)
	}
	for _, h := range region.Hosts {
		if err := issue(pb.Role_ROLE_AGENT, h.Name, folder.Bundle("agent-"+h.Name), doors); err != nil {
			return err
		}
	}
	for _, h := range region.Servers() {
		if err := issue(pb.Role_ROLE_SERVER, h.Name, folder.Bundle("server-"+h.Name), doors); err != nil {
			return err
		}
	}
	return issue(pb.Role_ROLE_USER, "operator", folder.UserBundle(), sockets)
}
