class RotoclearWebSocketClient {
    constructor(url) {
        this.url = url;
        this.ws = null;
        this.reconnectInterval = 5000;
    }
    
    connect(username, password) {
        this.ws = new WebSocket(this.url);
        
        this.ws.onopen = () => {
            console.log('WebSocket connected');
            
            // Authenticate if credentials provided
            if (username && password) {
                this.send({ username, password });
            }
        };
        
        this.ws.onmessage = (event) => {
            const data = JSON.parse(event.data);
            this.handleMessage(data);
        };
        
        this.ws.onerror = (error) => {
            console.error('WebSocket error:', error);
        };
        
        this.ws.onclose = () => {
            console.log('WebSocket closed, reconnecting...');
            setTimeout(() => this.connect(username, password), this.reconnectInterval);
        };
    }
    
    send(data) {
        if (this.ws.readyState === WebSocket.OPEN) {
            this.ws.send(JSON.stringify(data));
        } else {
            console.error('WebSocket not connected');
        }
    }
    
    handleMessage(data) {
        console.log('Received:', data);
        // Handle state updates
        if (data.brightness !== undefined) {
            this.onBrightnessChange(data.brightness);
        }
        if (data.record !== undefined) {
            this.onRecordingChange(data.record);
        }
    }
    
    // Camera control methods
    setLight(camera, on) {
        const key = camera === 1 ? 'cam1-light' : 'cam2-light';
        this.send({ [key]: on });
    }
    
    setBrightness(value) {
        this.send({ brightness: value });
    }
    
    setResolution(resolution) {
        this.send({ resolution: resolution });
    }
    
    startRecording() {
        this.send({ record: true });
    }
    
    stopRecording() {
        this.send({ record: false });
    }
    
    takeSnapshot() {
        this.send({ snap: true });
    }
    
    // Callbacks (override these)
    onBrightnessChange(value) {}
    onRecordingChange(state) {}
}
