"""What the DAGs are made of: their forms, their groups of tasks, when they try again."""
