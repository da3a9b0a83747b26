"""Another place that holds the project too: objects, facts and names go there and come from there."""
