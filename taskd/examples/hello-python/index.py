"""Scores how much attention a patient's measurements need: the sum of three points, each with its reason."""

RULES = [
    ("heart rate", "heartRate", 50, 100),
    ("oxygen saturation", "oxygenSaturation", 94, 100),
    ("temperature", "temperature", 36.0, 38.0),
]


def handler(task, context):
    """Gets the task, reads what its creator put into ``data``, and returns what becomes the result."""
    measurements = task["data"]
    print(f"Scoring {len(measurements)} measurements for task {task.get('id', '(direct call)')}")

    reasons = []
    for label, field, lowest, highest in RULES:
        value = measurements.get(field)
        if value is None:
            print(f"  {label}: not measured")
        elif lowest <= value <= highest:
            print(f"  {label}: {value} is fine")
        else:
            print(f"  {label}: {value} is outside {lowest} to {highest}")
            reasons.append(label)

    risk = ["low", "medium", "high", "high"][len(reasons)]
    print(f"The risk is {risk}; {context.get_remaining_time_in_millis()} ms were left")
    return {"risk": risk, "score": len(reasons), "reasons": reasons}
