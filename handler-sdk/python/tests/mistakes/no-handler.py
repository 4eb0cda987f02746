def act(cx, alert, found):
    return {}
