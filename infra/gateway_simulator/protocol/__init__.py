"""How clients are met: frames, versions, sessions, limits on messages."""
