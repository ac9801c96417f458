"""The provincial data centre's side: enrols agents, makes what they send durable, detects, stores."""
