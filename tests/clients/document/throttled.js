class ThrottledClient {
    constructor(url, throttleMs = 100) {
        this.url = url;
        this.throttleMs = throttleMs;
        this.pendingUpdates = {};
        this.throttleTimer = null;
    }
    
    send(data) {
        // Merge with pending updates
        Object.assign(this.pendingUpdates, data);
        
        // Clear existing timer
        if (this.throttleTimer) {
            clearTimeout(this.throttleTimer);
        }
        
        // Set new timer
        this.throttleTimer = setTimeout(() => {
            this.ws.send(JSON.stringify(this.pendingUpdates));
            this.pendingUpdates = {};
            this.throttleTimer = null;
        }, this.throttleMs);
    }
}
