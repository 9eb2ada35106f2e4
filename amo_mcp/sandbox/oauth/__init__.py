"""Sign-in: the integration, its codes and tokens, and the endpoints that hand them out."""
